"""The look of the page: the explanation page's colours on Gradio's parts, and the page's own parts.

Fonts are those of the reader's system: nothing is loaded.
"""

import re

import gradio as gr

from sightline.core import templates

_BLOCKS = re.findall(r":root\{(.*?)\}", templates.render(templates.CORE, "page.css"), re.DOTALL)
LIGHT, DARK = (dict(re.findall(r"--([\w-]+):([^;}]+?)\s*(?:;|$)", block)) for block in _BLOCKS)
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's parts in the page's colours, light and dark."""
    made = gr.themes.Base(
        font=[gr.themes.Font(name) for name in _SANS], font_mono=[gr.themes.Font(name) for name in _MONO],
        radius_size="lg",
    )  # fmt: skip
    roles = {
        "paper": ("body_background_fill",),
        "card": ("block_background_fill", "input_background_fill", "background_fill_primary",
                 "button_secondary_background_fill"),
        "ink": ("body_text_color", "block_label_text_color", "block_title_text_color",
                "button_secondary_text_color"),
        "quiet": ("body_text_color_subdued", "block_info_text_color", "input_placeholder_color"),
        "line": ("border_color_primary", "block_border_color", "input_border_color",
                 "button_secondary_border_color"),
        "accent": ("button_primary_background_fill", "input_border_color_focus",
                   "slider_color", "checkbox_background_color_selected", "checkbox_border_color_selected",
                   "link_text_color", "border_color_accent"),
        "accent-soft": ("color_accent_soft", "button_secondary_background_fill_hover"),
    }  # fmt: skip
    colours = {}
    for name, parts in roles.items():
        for part in parts:
            colours[part] = LIGHT[name]
            colours[f"{part}_dark"] = DARK[name]
    colours["color_accent"] = "var(--sl-accent)"  # the one of them without a dark form
    return made.set(
        **colours, button_primary_text_color="#fff", button_primary_text_color_dark="#171b25",
        button_primary_background_fill_hover="#5a2ccb", button_primary_background_fill_hover_dark="#cbb6ff",
        block_shadow="none", block_label_background_fill="transparent", block_border_width="1px",
    )  # fmt: skip


def css() -> str:
    def block(colours: dict[str, str]) -> str:
        return ";".join(f"--sl-{name}:{value}" for name, value in colours.items() if name != "color-scheme")

    return f":root{{{block(LIGHT)}}}.dark{{{block(DARK)}}}{_CSS}"


# Gradio's script only says that a request failed: where the login is over, it is shown.
LOGIN_AGAIN = """<script>
const ask = window.fetch;
window.fetch = async (...given) => {
  const answer = await ask(...given);
  if (answer.status === 401) location.reload();
  return answer;
};
</script>"""

_CSS = """
.gradio-container{max-width:1180px!important;width:100%!important;margin:0 auto!important;
padding:0 20px 60px!important}
.gradio-container *{min-width:0}
.gradio-container .main,.gradio-container .wrap{padding-left:0!important;padding-right:0!important}
.gradio-container .html-container,.gradio-container .tabitem{
padding-left:0!important;padding-right:0!important}
.gradio-container .column>.block:has(.sl-nothing){display:none}
footer{display:none!important}
.sl-head{padding:38px 0 14px}
.sl-head h1{font-size:clamp(27px,4vw,40px);line-height:1.12;letter-spacing:-.025em;margin:0 0 8px;
font-weight:750;color:var(--sl-ink)}
.sl-head p{color:var(--sl-quiet);max-width:64ch;margin:0;font-size:16px}
.sl-head .eye{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.3em;
background:radial-gradient(circle at 50% 50%,#fcffa4 0 16%,#fb9b06 34%,#bb3754 62%,#420a68 100%)}
.sl-signout{position:absolute;top:30px;right:0}
.sl-signout button{border:1px solid var(--sl-line);background:var(--sl-card);color:var(--sl-quiet);
border-radius:999px;padding:5px 16px;font:inherit;font-size:14px;cursor:pointer}
.sl-stage{position:relative;border-radius:16px;overflow:hidden;background:#0b0d13;line-height:0;
width:100%;max-width:460px;margin:0 auto}
.sl-stage img{width:100%;display:block;margin:0;max-width:none}
.sl-stage .base.small{image-rendering:pixelated}
.sl-stage .base{transition:filter .2s}
.sl-stage.lit .base{filter:brightness(.55) saturate(.65)}
.sl-stage .heat{position:absolute;opacity:0;transition:opacity .2s}
.sl-stage.lit .heat{opacity:1}
.sl-stage.lit:hover .heat{opacity:0}.sl-stage.lit:hover .base{filter:none}
.sl-stage.empty{background:var(--sl-card);border:2px dashed var(--sl-line);aspect-ratio:1;display:grid;
place-items:center;line-height:1.5;color:var(--sl-quiet)}
.sl-pick{display:flex;gap:8px;flex-wrap:wrap;align-items:stretch}
.sl-pick button,.sl-pick label{border:2px solid var(--sl-line);border-radius:12px;padding:0;cursor:pointer;
background:var(--sl-card);overflow:hidden;transition:border-color .15s,transform .15s;color:var(--sl-ink)}
.sl-pick button{width:62px;height:62px;flex:none}
.sl-pick button img{width:100%;height:100%;object-fit:cover;margin:0}
.sl-pick button:hover,.sl-pick button:focus-visible,.sl-pick label:hover,.sl-pick label:focus-within{
border-color:var(--sl-accent);outline:none}
.sl-pick button.on{border-color:var(--sl-accent);box-shadow:0 0 0 3px var(--sl-accent-soft)}
.sl-pick label{flex:1 1 150px;min-height:62px;border-style:dashed;display:grid;place-items:center;
font-size:14px;line-height:1.3;text-align:center;padding:8px 14px;position:relative}
.sl-pick label.drag{background:var(--sl-accent-soft);border-color:var(--sl-accent)}
.sl-pick input{position:absolute;opacity:0;inset:0;width:100%;height:100%;cursor:pointer}
.sl-pick label small{color:var(--sl-quiet);font-size:12.5px}
.sl-chips{display:flex;flex-wrap:wrap;gap:7px}
.sl-chips button{font:inherit;font-size:14px;border:1px solid var(--sl-line);background:var(--sl-card);
color:var(--sl-ink);border-radius:999px;padding:5px 13px;cursor:pointer;transition:all .15s}
.sl-chips button:hover,.sl-chips button:focus-visible{border-color:var(--sl-accent);
background:var(--sl-accent-soft);outline:none}
.sl-answer,.sl-variant{background:var(--sl-card);border:1px solid var(--sl-line);border-radius:16px;
padding:18px 20px;color:var(--sl-ink)}
.sl-kicker{font-size:12px;font-weight:650;letter-spacing:.06em;text-transform:uppercase;
color:var(--sl-quiet);margin-bottom:8px}
.sl-live{font-size:19px;line-height:1.75;margin:0;letter-spacing:-.01em;color:var(--sl-ink)}
.sl-caret{display:inline-block;width:9px;height:1.05em;margin-left:3px;border-radius:2px;
background:var(--sl-accent);vertical-align:-.16em;animation:sl-blink 1s steps(2) infinite}
@keyframes sl-blink{50%{opacity:0}}
.sl-words{font-size:19px;line-height:1.75;letter-spacing:-.005em}
.sl-words button{font:inherit;border:0;background:none;color:inherit;border-radius:6px;padding:0 2px;margin:0;
cursor:pointer;text-decoration:underline dotted var(--sl-line) 2px;text-underline-offset:5px;
transition:background .12s,color .12s}
.sl-words button:hover,.sl-words button:focus-visible{background:var(--sl-accent-soft);outline:none}
.sl-words button.on{background:var(--sl-accent);color:var(--sl-card);text-decoration:none}
.sl-hint,.sl-facts,.sl-read{color:var(--sl-quiet);font-size:13.5px;margin:8px 0 0}
.sl-read q{color:var(--sl-ink);quotes:none}
.sl-read span{border-radius:4px;padding:1px 3px;transition:background .18s}
.sl-read em{font-style:normal;display:block;margin-top:3px}
.sl-trust{display:grid;grid-template-columns:82px minmax(50px,1fr) auto auto;gap:10px;align-items:center;
font-size:14px;margin-top:12px;color:var(--sl-quiet)}
.sl-trust b{white-space:nowrap;color:var(--sl-ink);font-variant-numeric:tabular-nums;font-weight:650}
.sl-meter{height:8px;border-radius:5px;background:var(--sl-line);display:block;overflow:hidden}
.sl-meter>i{display:block;height:100%;border-radius:5px;background:var(--sl-accent)}
.sl-meter.good>i{background:var(--sl-good)}.sl-meter.bad>i{background:var(--sl-bad)}
.sl-badge{font-size:13px;border-radius:999px;padding:1px 10px;background:var(--sl-line)}
.sl-trust .sl-badge.good,.sl-badge.good{background:var(--sl-good-soft);color:var(--sl-good)}
.sl-trust .sl-badge.bad,.sl-badge.bad{background:var(--sl-bad-soft);color:var(--sl-bad)}
.sl-msg{border-radius:12px;padding:11px 15px;font-size:14.5px;line-height:1.45;margin:4px 0;
border:1px solid var(--sl-line);color:var(--sl-quiet);background:var(--sl-card)}
.sl-msg.bad,.sl-msg.warn{background:var(--sl-bad-soft);color:var(--sl-bad);border-color:transparent}
.sl-title{font-size:19px;letter-spacing:-.01em;margin:10px 0 12px;font-weight:680;color:var(--sl-ink)}
.sl-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,200px),1fr));gap:16px}
.sl-card{background:var(--sl-card);border:1px solid var(--sl-line);border-radius:16px;overflow:hidden;
display:flex;flex-direction:column;color:var(--sl-ink)}
.sl-card>img,.sl-noimg{width:100%;aspect-ratio:1;object-fit:contain;background:#0b0d13;margin:0}
.sl-card>img{background:color-mix(in srgb,var(--sl-ink) 6%,transparent)}
.sl-card>img[src^="data:image/png"]{image-rendering:pixelated}
.sl-card small{color:var(--sl-quiet);font-size:12px;overflow-wrap:anywhere}
.sl-noimg{display:grid;place-items:center;color:#8b93a7;font-size:13px;aspect-ratio:auto;padding:12px}
.sl-card>div:last-child{padding:13px 15px;display:flex;flex-direction:column;gap:8px;flex:1}
.sl-card p{font-size:14px;line-height:1.45;margin:0;flex:1}
.sl-card mark{background:rgba(var(--sl-heat),.3);color:inherit;border-radius:4px;padding:0 2px}
.sl-score{display:grid;grid-template-columns:auto 1fr auto;gap:9px;align-items:center;font-size:13px;
color:var(--sl-quiet);font-variant-numeric:tabular-nums}
.sl-card button{font:inherit;font-size:13px;border:0;background:none;color:var(--sl-accent);padding:0;
cursor:pointer;text-align:left;font-weight:600}
.sl-variants{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,230px),1fr));gap:16px}
.sl-variant .sl-facts{margin:-4px 0 10px}
.sl-said{font-size:16px;line-height:1.5;margin:0 0 6px;color:var(--sl-ink)}
.sl-section{margin:0 0 34px}
.sl-section h4{font-size:15px;margin:16px 0 8px;font-weight:620;color:var(--sl-ink)}
.sl-tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:14px}
.sl-tiles>div{background:var(--sl-card);border:1px solid var(--sl-line);border-radius:16px;padding:16px 18px}
.sl-tiles b{display:block;font-size:28px;letter-spacing:-.02em;font-weight:720;color:var(--sl-ink);
font-variant-numeric:tabular-nums;line-height:1.2}
.sl-tiles span{color:var(--sl-quiet);font-size:13.5px;line-height:1.35;display:block;margin-top:3px}
.sl-charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:16px}
.sl-chart{background:var(--sl-card);border:1px solid var(--sl-line);border-radius:16px;padding:14px 14px 8px}
.sl-chart svg{width:100%;height:auto;display:block}
.sl-chart text{font-size:12px;fill:var(--sl-quiet);font-variant-numeric:tabular-nums}
.sl-chart .grid{stroke:var(--sl-line);fill:none}
.sl-chart .line{fill:none;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}
.sl-chart .line.s0{stroke:var(--sl-accent)}.sl-chart .line.s1{stroke:#e0703a;stroke-dasharray:6 4}
.sl-chart .dot.s0{fill:var(--sl-accent)}.sl-chart .dot.s1{fill:#e0703a}
.sl-chart .ideal{stroke:var(--sl-quiet);stroke-dasharray:4 4;fill:none}
.sl-chart .legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13.5px;color:var(--sl-quiet);
margin-bottom:6px}
.sl-chart .legend b{color:var(--sl-ink);font-weight:620}
.sl-chart .legend span::before{content:"";display:inline-block;width:14px;height:3px;border-radius:2px;
vertical-align:middle;margin-right:6px;background:var(--sl-accent)}
.sl-chart .legend span.s1::before{background:#e0703a}
.sl-scroll{overflow-x:auto;background:var(--sl-card);border:1px solid var(--sl-line);border-radius:16px;
padding:6px 16px}
.sl-table,.sl-table tbody{border:0!important}
.sl-table{width:100%;border-collapse:collapse;font-size:14.5px;color:var(--sl-ink);margin:0}
.sl-table tr,.sl-table th,.sl-table td{border:0!important;background:none}
.sl-table tr+tr{border-top:1px solid var(--sl-line)!important}
.sl-table th{font-weight:500;text-align:left;padding:9px 12px 9px 0}
.sl-table tr:first-child th{color:var(--sl-quiet);font-size:13px;text-align:right}
.sl-table td{text-align:right;padding:9px 0 9px 12px;font-variant-numeric:tabular-nums;white-space:nowrap}
.sl-table small{display:block;color:var(--sl-quiet);font-size:12px;font-weight:400}
.sl-table td.good{color:var(--sl-good);font-weight:650}.sl-table td.bad{color:var(--sl-bad);font-weight:650}
details{margin:0 0 12px;color:var(--sl-ink)}summary{cursor:pointer;padding:6px 0;font-size:15px}
@media(max-width:620px){
.gradio-container{padding:0 12px 40px!important}
.sl-head{padding:24px 0 8px}
.sl-live,.sl-words{font-size:17.5px}
.sl-grid{grid-template-columns:1fr 1fr;gap:10px}.sl-card p{font-size:13px}
.sl-card>div:last-child{padding:10px 11px}.sl-table th{padding-right:6px}.sl-table td{padding-left:7px}
.sl-scroll{padding:4px 10px}
.sl-pick button{width:52px;height:52px}
.sl-tiles{grid-template-columns:1fr 1fr}
.sl-trust{grid-template-columns:76px minmax(40px,1fr) auto;}
.sl-table{font-size:13px}.sl-table td small{font-size:11px}
}
@media(prefers-reduced-motion:reduce){*{transition:none!important;animation:none!important}}
"""

# The file is read in the browser and sent as a data URL inside an event, so it is never written to disk.
PICK_JS = """
const most = MOST_BYTES;
const send = file => {
  if (!file) return;
  if (file.size > most) { trigger('upload', {error: 'This file has ' + (file.size / 1048576).toFixed(1) +
    ' MB; pictures up to ' + (most / 1048576).toFixed(0) + ' MB are taken.'}); return; }
  const reader = new FileReader();
  reader.onload = () => trigger('upload', {picture: reader.result});
  reader.onerror = () => trigger('upload', {error: 'The browser could not read this file.'});
  reader.readAsDataURL(file);
};
const clear = () => element.querySelectorAll('button').forEach(b => b.classList.remove('on'));
element.addEventListener('change', event => {
  if (event.target.type !== 'file') return;
  event.stopPropagation(); clear(); send(event.target.files[0]); event.target.value = '';
});
element.addEventListener('click', event => {
  const button = event.target.closest('button'); if (!button) return;
  clear(); button.classList.add('on'); trigger('select', {index: Number(button.dataset.index)});
});
['dragover', 'dragleave', 'drop'].forEach(name => element.addEventListener(name, event => {
  const label = event.target.closest('label'); if (!label) return;
  event.preventDefault(); label.classList.toggle('drag', name === 'dragover');
  if (name === 'drop') { clear(); send(event.dataTransfer.files[0]); }
}));
"""

CHIP_JS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button'); if (button) trigger('select', {text: button.textContent});
});
"""

CARD_JS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-id]');
  if (button) trigger('select', {id: button.dataset.id});
});
"""

WORD_JS = """
const stage = () => document.querySelector('#sl-view .sl-stage');
const show = word => {
  const view = stage(), heat = view && view.querySelector('.heat'); if (!heat) return;
  document.querySelectorAll('.sl-words button').forEach(b => b.classList.toggle('on', b === word));
  heat.src = word.dataset.map; view.classList.add('lit');
  const panel = word.closest('.sl-answer'), scores = word.dataset.scores.split(' ').map(Number);
  const top = Math.max(...scores, 1e-6);
  panel.querySelectorAll('.sl-read span').forEach((span, place) => {
    span.style.background = 'rgba(var(--sl-heat),' + (0.62 * scores[place] / top).toFixed(3) + ')'; });
  const share = panel.querySelector('.share'); if (share) share.textContent = word.dataset.share;
};
element.addEventListener('click', event => {
  const word = event.target.closest('button[data-map]'); if (word) show(word);
});
watch('value', () => { const first = element.querySelector('button[data-first]'); if (first) show(first); });
"""
