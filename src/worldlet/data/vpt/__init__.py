"""OpenAI's VPT contractor recordings of Minecraft: videos beside logs of keys and mouse, as a data set folder."""
