"""Figures for papers: scores, training curves, efficiency and attention spans."""
