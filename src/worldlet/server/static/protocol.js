// Generated from messages.py by `python -m worldlet.server.protocol_js`. Do not edit.

export const VERSION = 1;

export const CLIENT_MESSAGES = {
  "hello": {
    "required": [
      "version"
    ],
    "optional": []
  },
  "action": {
    "required": [
      "action"
    ],
    "optional": []
  },
  "stream": {
    "required": [],
    "optional": [
      "on",
      "fps",
      "format",
      "window"
    ]
  },
  "keys": {
    "required": [
      "held"
    ],
    "optional": [
      "stamp"
    ]
  },
  "ack": {
    "required": [
      "sequence"
    ],
    "optional": []
  },
  "pause": {
    "required": [],
    "optional": [
      "paused"
    ]
  },
  "step_once": {
    "required": [],
    "optional": [
      "action"
    ]
  },
  "restart": {
    "required": [],
    "optional": [
      "seed",
      "theme",
      "prompt"
    ]
  },
  "rewind": {
    "required": [],
    "optional": [
      "frames"
    ]
  },
  "sync": {
    "required": [],
    "optional": []
  },
  "snapshot": {
    "required": [],
    "optional": []
  },
  "restore": {
    "required": [
      "data"
    ],
    "optional": []
  },
  "fork": {
    "required": [],
    "optional": [
      "seed"
    ]
  }
};

export const SERVER_MESSAGES = {
  "welcome": {
    "required": [
      "version",
      "session_id",
      "world",
      "start",
      "frame_index",
      "data"
    ],
    "optional": []
  },
  "frame": {
    "required": [
      "data",
      "metrics"
    ],
    "optional": []
  },
  "started": {
    "required": [
      "start",
      "data",
      "metrics"
    ],
    "optional": []
  },
  "state": {
    "required": [
      "streaming",
      "paused",
      "fps",
      "format",
      "window"
    ],
    "optional": []
  },
  "snapshot": {
    "required": [
      "data",
      "size",
      "frame_index"
    ],
    "optional": []
  },
  "forked": {
    "required": [
      "session_id",
      "frame_index"
    ],
    "optional": []
  },
  "error": {
    "required": [
      "code",
      "message"
    ],
    "optional": []
  }
};

export const PICTURE_FORMATS = [
  "png",
  "rgb"
];

export const HEADER = {
  "sequence": {
    "kind": "uint32",
    "offset": 0
  },
  "frame_index": {
    "kind": "uint32",
    "offset": 4
  },
  "stamp": {
    "kind": "uint32",
    "offset": 8
  },
  "step_ms": {
    "kind": "float32",
    "offset": 12
  },
  "width": {
    "kind": "uint16",
    "offset": 16
  },
  "height": {
    "kind": "uint16",
    "offset": 18
  },
  "action": {
    "kind": "uint16",
    "offset": 20
  },
  "format": {
    "kind": "uint8",
    "offset": 22
  },
  "reserved": {
    "kind": "uint8",
    "offset": 23
  }
};

export const HEADER_BYTES = 24;

export const PAIR_EVENTS = [
  "",
  "start",
  "sync",
  "end"
];

export const PAIR_HEADER = {
  "sequence": {
    "kind": "uint32",
    "offset": 0
  },
  "frame_index": {
    "kind": "uint32",
    "offset": 4
  },
  "stamp": {
    "kind": "uint32",
    "offset": 8
  },
  "step_ms": {
    "kind": "float32",
    "offset": 12
  },
  "width": {
    "kind": "uint16",
    "offset": 16
  },
  "height": {
    "kind": "uint16",
    "offset": 18
  },
  "action": {
    "kind": "uint16",
    "offset": 20
  },
  "format": {
    "kind": "uint8",
    "offset": 22
  },
  "reserved": {
    "kind": "uint8",
    "offset": 23
  },
  "level_seed": {
    "kind": "float64",
    "offset": 24
  },
  "age": {
    "kind": "uint32",
    "offset": 32
  },
  "psnr_db": {
    "kind": "float32",
    "offset": 36
  },
  "hero_pixels": {
    "kind": "float32",
    "offset": 40
  },
  "event": {
    "kind": "uint8",
    "offset": 44
  },
  "reserved_2": {
    "kind": "uint8",
    "offset": 45
  },
  "reserved_3": {
    "kind": "uint16",
    "offset": 46
  }
};

export const PAIR_HEADER_BYTES = 48;

export const ERROR_CODES = [
  "bad_json",
  "unknown_type",
  "bad_fields",
  "bad_action",
  "bad_request",
  "bad_snapshot",
  "wrong_version",
  "too_large",
  "unknown_session",
  "unknown_world",
  "full",
  "taken_over",
  "not_found",
  "internal"
];
