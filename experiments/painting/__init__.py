"""What the study of recipes paints: recipes, pairs of pictures, sheets for a judge."""
