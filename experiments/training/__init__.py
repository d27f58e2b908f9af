"""Training of networks that paint in one pass: photographs, goal, steps, comparison."""
