"""Try random inputs on all that reads what users bring: python -m tests.fuzz --minutes 10

An input is fine if it is taken, or refused by one sentence; it must never end in a traceback, take
a minute, or take a gigabyte of memory."""
