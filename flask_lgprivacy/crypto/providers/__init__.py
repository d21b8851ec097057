"""Who holds the root key: a local file, HashiCorp Vault or OpenBao, a KMS, or a provider of your
own.
"""
