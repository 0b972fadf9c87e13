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
