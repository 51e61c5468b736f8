"""Training of the joint denoiser: data, losses, loop, export. Needs torch; serving imports nothing from here."""
