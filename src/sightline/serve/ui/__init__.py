"""The web page over a running server, on Gradio: a file per tab.

ui_layout.py: the tabs
ask_tab.py: ask, with maps
compare_tab.py: one question, every variant
search_tab.py: search
dashboard_tab.py: what was measured
mount.py: the page on the application, and its guard
page_input.py: what the page may send to Gradio
sessions.py: what is kept between two events, bounded
svg_charts.py: line charts
ui_images.py: pictures as data addresses
ui_style.py: colours and layout

Not here: the HTTP API (`serve/api.py`), offline pages of explanations (`explain/heatmap_page.py`).
"""
