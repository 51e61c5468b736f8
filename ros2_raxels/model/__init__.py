"""The joint denoiser of video and rays. Needs torch; serving runs the exported graphs through `engine` instead."""
