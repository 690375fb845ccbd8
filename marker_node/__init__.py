"""What RViz shows of the session beside the robot itself."""
