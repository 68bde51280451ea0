"""The index: a folder of segments that is replaced in one step."""
