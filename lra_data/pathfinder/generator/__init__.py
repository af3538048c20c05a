"""Draws Pathfinder pictures: the tables they are made of, and the compiled code that lays them on a canvas."""
