"""Files of pictures and data, side by side in a directory."""
