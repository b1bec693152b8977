"""Check a published dataset's folder, and write the files that its test server takes."""
