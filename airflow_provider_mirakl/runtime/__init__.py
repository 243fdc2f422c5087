"""What operators and sensors share when they run: arguments, a task's own files, results, waiting."""
