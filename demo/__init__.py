"""A demonstration: the gateway before a mail server in memory, or before a real one, by one command (`make run`).

    mail.py      the demo account's messages
    upstream.py  starts pymap, an IMAP server in memory, and puts the messages in
    gateway.py   writes a configuration, starts `jmap-gateway serve`, waits until it answers
    client.py    the few JMAP requests needed to know that it does, and the curl line that shows it
    __main__.py  puts these together

It is no part of the installed gateway and knows it only from outside: its command line and its HTTP.
"""
