"""Files of models: what is written (encode, decode, restore), how (npz, safetensor), and that it is whole."""
