"""The look and the behaviour of the explanation page, inlined into it so that it works offline."""

CSS = """
:root{--paper:#f6f7f9;--card:#fff;--ink:#171d2b;--quiet:#667085;--line:#e3e6ec;--accent:#6c3ce0;
--accent-soft:#efe9ff;
--good:#14804a;--good-soft:#e3f5ea;--bad:#c2362b;--bad-soft:#fdebe9;--heat:255,122,41;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--paper:#0e1118;--card:#171b25;--ink:#eceff6;--quiet:#98a2b6;
--line:#283042;
--accent:#b79bff;--accent-soft:#2a2244;--good:#5fd69a;--good-soft:#12301f;--bad:#ff8f85;--bad-soft:#3a1a18}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","DejaVu Sans",sans-serif;-webkit-font-smoothing:antialiased}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:52px;padding-bottom:20px}
h1{font-size:clamp(28px,4vw,42px);line-height:1.12;letter-spacing:-.025em;margin:0 0 10px;font-weight:750}
h2{font-size:21px;letter-spacing:-.01em;margin:0 0 6px}
.lead{color:var(--quiet);max-width:66ch;margin:0}
.bar{position:sticky;top:0;z-index:5;background:color-mix(in srgb,var(--paper) 88%,transparent);
backdrop-filter:blur(10px);border-bottom:1px solid var(--line);margin-bottom:26px}
.bar>div{max-width:1180px;margin:0 auto;padding:12px 24px;display:flex;gap:20px;align-items:center;
flex-wrap:wrap}
.switch{display:inline-flex;background:var(--card);border:1px solid var(--line);border-radius:20px;
padding:3px;flex-wrap:wrap}
.switch button{border:0;background:none;color:var(--quiet);font:inherit;font-size:14px;padding:5px 16px;
border-radius:999px;cursor:pointer}
.switch button[aria-pressed=true]{background:var(--accent);color:var(--card);font-weight:600}
.scale{display:flex;align-items:center;gap:9px;color:var(--quiet);font-size:13px}
.scale i{width:130px;height:9px;border-radius:5px;display:block}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr));gap:22px}
.card{background:var(--card);border:1px solid var(--line);border-radius:18px;padding:18px;display:grid;
grid-template-columns:minmax(150px,236px) 1fr;gap:20px;align-items:start;
box-shadow:0 1px 2px rgb(16 24 40/.05)}
.card.wide{grid-column:1/-1;grid-template-columns:minmax(170px,330px) 1fr}
.view{position:relative;border-radius:12px;overflow:hidden;line-height:0;background:#000}
.view img{width:100%;display:block}
.view .base.small{image-rendering:pixelated}
.view .base{transition:filter .18s}
.view.lit .base{filter:brightness(.58) saturate(.7)}
.view .heat{position:absolute;inset:0;height:100%;opacity:0;transition:opacity .18s}
.view.lit .heat{opacity:1}
.view .box{position:absolute;border:2px solid #3ddbd9;border-radius:2px;pointer-events:none}
.view .box b{position:absolute;left:-2px;bottom:100%;background:#3ddbd9;color:#05292a;
font:600 11px/1.5 system-ui,sans-serif;
padding:0 5px;border-radius:3px 3px 0 0;white-space:nowrap}
.type{font-size:12px;font-weight:600;letter-spacing:.06em;text-transform:uppercase;color:var(--quiet)}
.question{font-size:18px;font-weight:650;line-height:1.75;margin:3px 0 10px;letter-spacing:-.01em}
.question span{border-radius:5px;padding:1px 3px;transition:background .18s}
.label{font-size:12.5px;color:var(--quiet);margin:0 0 5px}
.words{display:flex;flex-wrap:wrap;gap:5px;margin:0 0 12px}
.words button{font:inherit;font-size:15.5px;border:1px solid var(--line);background:none;color:inherit;
border-radius:9px;
padding:2px 9px;cursor:pointer;transition:background .12s,border-color .12s}
.words button:hover,.words button:focus-visible,.words button.on{background:var(--accent-soft);
border-color:var(--accent);
outline:none}
.verdict{font-size:13.5px;display:inline-block;border-radius:999px;padding:2px 11px;font-weight:600}
.verdict.right{background:var(--good-soft);color:var(--good)}.verdict.wrong{background:var(--bad-soft);
color:var(--bad)}
.facts{color:var(--quiet);font-size:13.5px;margin:9px 0 0}
.side[hidden]{display:none}
section.wide{background:var(--card);border:1px solid var(--line);border-radius:18px;padding:22px;
margin-top:24px}
table{border-spacing:4px;margin-top:12px}
th{font-weight:500;color:var(--quiet);font-size:13px;text-align:left;padding:0 8px 0 0}
th.head{text-align:center;padding:0}
td{min-width:54px;height:46px;border-radius:8px;text-align:center;font-size:14px;
font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
footer{color:var(--quiet);font-size:14px;padding-top:26px;padding-bottom:60px}
code{background:color-mix(in srgb,var(--ink) 8%,transparent);border-radius:5px;padding:1px 6px;
font-size:13.5px}
@media(max-width:620px){.card,.card.wide{grid-template-columns:1fr}}
@media(prefers-reduced-motion:reduce){*{transition:none!important}}
"""

SCRIPT = """
const show=(card,word)=>{const view=card.querySelector('.view');
 card.querySelectorAll('.words button').forEach(b=>b.classList.toggle('on',b===word));
 view.querySelector('.heat').src=word.dataset.map;view.classList.add('lit');
 const scores=word.dataset.scores.split(' ').map(Number),top=Math.max(...scores);
 word.closest('.side').querySelectorAll('.question span').forEach((s,i)=>{
  s.style.background='rgba(var(--heat),'+(0.62*scores[i]/top).toFixed(3)+')'});
 word.closest('.side').querySelector('.share').textContent=word.dataset.share};
const first=card=>{const word=card.querySelector('.side:not([hidden]) .words button[data-first]');
 if(word)show(card,word);else card.querySelector('.view').classList.remove('lit')};
document.querySelectorAll('.card').forEach(card=>{first(card);
 card.querySelectorAll('.words button').forEach(word=>['mouseenter','focus','click'].forEach(
  event=>word.addEventListener(event,()=>show(card,word))));
 card.querySelector('.view').addEventListener('mouseenter',
()=>card.querySelector('.view').classList.remove('lit'));
 card.querySelector('.view').addEventListener('mouseleave',()=>{
  if(card.querySelector('.words button.on'))card.querySelector('.view').classList.add('lit')})});
document.querySelectorAll('.switch button').forEach(button=>button.addEventListener('click',()=>{
 document.querySelectorAll('.switch button').forEach(b=>b.setAttribute('aria-pressed',b===button));
 document.querySelectorAll('.side').forEach(side=>side.hidden=side.dataset.view!==button.dataset.view);
 document.querySelectorAll('.card').forEach(first)}));
"""
