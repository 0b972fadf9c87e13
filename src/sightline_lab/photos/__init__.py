"""Models of photographs: the figures of the photo profile, and what a model says about pictures that anybody
may use and that scikit-image ships.

photo_examples.py: the pictures, the answers about them, the page and its picture
photo_results_page.py: the trainings of the profile flickr8k, a seed each, as a page

Not here: how a model of photographs is trained (profiles/flickr8k.yaml, sightline.train).
"""
