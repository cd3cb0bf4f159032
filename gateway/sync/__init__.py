"""Keeps an account's index equal to its upstream: plan (pure), apply (thin), and the backend that methods ask.

The only package that speaks both languages: IMAP towards `upstream`, JMAP's terms towards `account`.
"""
