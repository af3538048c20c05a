"""Draws Pathfinder pictures: the drawing tables, and the compiled code that draws them on a canvas."""
