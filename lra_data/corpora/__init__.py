"""What the tasks share that convert a corpus: reading archives safely, downloads, orders that follow from identity."""
