# eso-push: the External Secrets Operator's PushSecrets of the namespace greenlang, through the store
# vault-push. It writes below `pushed/`, where nobody else writes, and reads nothing beside it.

# Values. The wildcards are the application and the name: everything of this shape is what
# applications push, and a new one needs no new policy. No `delete`: a PushSecret that goes by
# mistake takes nothing with it.
path "secret/data/greenlang/pushed/+/+" {
  capabilities = ["create", "read", "update"]
}

# Custom metadata, in which the operator marks what it manages, and looks before it writes. The
# wildcards are those of the values.
path "secret/metadata/greenlang/pushed/+/+" {
  capabilities = ["create", "read", "update"]
}
