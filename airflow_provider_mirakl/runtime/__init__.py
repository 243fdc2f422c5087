"""Code that operators and sensors share at run time: arguments, a task's files, results, waiting."""
