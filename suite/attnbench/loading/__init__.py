"""What tasks load their data with: embedded files, the hub, images and text."""
