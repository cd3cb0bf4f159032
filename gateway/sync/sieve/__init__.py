"""Sieve scripts and the vacation reply of one account, kept equal to what its ManageSieve server has.

`script_text` reads and quotes Sieve, `vacation_text` writes the vacation's script and reads it back, `plan` decides
what is to be done, `naming` tells which script is which: all pure. `shelf` and `scripts` act.
"""
