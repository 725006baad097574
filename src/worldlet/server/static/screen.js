// The canvas: frames of any size, shown at a whole multiple of the device's pixels.

export class Screen {
  constructor(canvas, room) {
    this.canvas = canvas;
    this.room = room;
    this.context = canvas.getContext("2d", { alpha: false });
    this.drawn = 0;
    new ResizeObserver(() => this.fit()).observe(room);
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.fit();
  }

  fit() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.canvas;
    const room = 12; // for the outline
    const across = ((this.room.clientWidth - room) * ratio) / width;
    const down = ((this.room.clientHeight - room) * ratio) / height;
    const scale = Math.max(1, Math.floor(Math.min(across, down))) / ratio;
    this.canvas.style.width = `${width * scale}px`;
    this.canvas.style.height = `${height * scale}px`;
  }

  // Raw rows of RGB bytes.
  drawRgb(width, height, rgb) {
    this.drawn += 1;
    this.resize(width, height);
    const image = this.context.createImageData(width, height);
    const rgba = image.data;
    for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
      rgba[to] = rgb[from];
      rgba[to + 1] = rgb[from + 1];
      rgba[to + 2] = rgb[from + 2];
      rgba[to + 3] = 255;
    }
    this.context.putImageData(image, 0, 0);
  }

  // Decoding takes a moment: a picture that is overtaken meanwhile is not drawn.
  async drawPng(bytes) {
    const turn = ++this.drawn;
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    if (turn === this.drawn) {
      this.resize(picture.width, picture.height);
      this.context.drawImage(picture, 0, 0);
    }
    picture.close();
  }

  drawBase64(text) {
    return this.drawPng(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
  }
}

// Two screens that show one picture: its upper half left, its lower half right.
export class PairOfScreens {
  constructor(upper, lower) {
    this.screens = [new Screen(...upper), new Screen(...lower)];
    this.drawn = 0;
  }

  drawRgb(width, height, rgb) {
    this.drawn += 1;
    const half = rgb.length / 2;
    this.screens.forEach((screen, place) => {
      screen.drawRgb(width, height / 2, rgb.subarray(place * half, (place + 1) * half));
    });
  }

  async drawPng(bytes) {
    const turn = ++this.drawn;
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = picture;
    this.screens.forEach((screen, place) => {
      if (turn !== this.drawn) return;
      screen.resize(width, height / 2);
      screen.context.drawImage(picture, 0, (-place * height) / 2);
    });
    picture.close();
  }

  drawBase64(text) {
    return this.drawPng(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
  }
}
