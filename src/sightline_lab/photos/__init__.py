"""What a model of photographs says about pictures that anybody may use and that scikit-image ships.

photo_examples.py: the pictures, the answers about them, the page and its picture

Not here: how a model of photographs is made (docs/reports/flickr8k.md).
"""
