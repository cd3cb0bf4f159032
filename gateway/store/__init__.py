"""User state: what no upstream can give back. Every write is durable before it is acknowledged."""

from gateway.store.api import PushRecord, StoreError, UploadRecord, UserStore
from gateway.store.sqlite import SqliteStore
from gateway.store.uploads import OpenUpload, Upload, Uploads

__all__ = ["OpenUpload", "PushRecord", "SqliteStore", "StoreError", "Upload", "UploadRecord", "Uploads", "UserStore"]
