"""Model files: what is written (encode, decode, restore), in which formats (npz, safetensor), and how (atomic)."""
