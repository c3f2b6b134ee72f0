"""What follows Vault inside of other libraries; each module needs the one it is named for."""
