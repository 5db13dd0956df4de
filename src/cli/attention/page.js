'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const element = id => document.getElementById(id);
// Weights come as 16-bit fractions, (layers, heads, queries, keys).
for (const part of data.parts) {
  const bytes = Uint8Array.from(atob(part.weights), c => c.charCodeAt(0));
  part.values = new Uint16Array(bytes.buffer);
  part.rows = part.queries.length;
  part.columns = part.keys.length;
}
let part = data.parts[0], layer = 0, head = 0, pinned = null;

// One head, or the mean of all where head is -1.
function weight(p, l, h, q, k) {
  const at = i => p.values[((l * p.heads + i) * p.rows + q) * p.columns + k] / 65535;
  if (h >= 0) return at(h);
  let sum = 0;
  for (let i = 0; i < p.heads; i++) sum += at(i);
  return sum / p.heads;
}
const rgb = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
let ramp = [];
// Square roots, so that small weights are seen beside large ones.
function colours() {
  const [low, middle, high] = ['--low', '--middle', '--high'].map(name => rgb(style(name)));
  ramp = Array.from({length: 256}, (_, i) => {
    const x = i / 255, [a, b, t] = x < 0.5 ? [low, middle, 2 * x] : [middle, high, 2 * x - 1];
    return a.map((v, c) => Math.round(v + t * (b[c] - v)));
  });
}
const colour = w => ramp[Math.min(255, Math.round(255 * Math.sqrt(w)))];

function paint(canvas, l, h) {
  canvas.width = part.columns;
  canvas.height = part.rows;
  const context = canvas.getContext('2d'), image = context.createImageData(part.columns, part.rows);
  for (let q = 0, at = 0; q < part.rows; q++)
    for (let k = 0; k < part.columns; k++, at += 4) {
      const [r, g, b] = colour(weight(part, l, h, q, k));
      image.data.set([r, g, b, 255], at);
    }
  context.putImageData(image, 0, 0);
}
const headName = h => h < 0 ? 'mean of heads' : `head ${h + 1}`;
const layerName = l => `layer ${part.layers[l] + 1}`;

function overview() {
  const table = element('overview');
  table.replaceChildren();
  const heads = [...Array(part.heads).keys(), -1];
  const size = Math.max(22, Math.min(64, Math.floor(1150 / heads.length) - 6));
  table.style.setProperty('--thumb', size + 'px');
  table.append(make('thead', {}, make('tr', {}, make('th'),
    ...heads.map(h => make('th', {scope: 'col', textContent: h < 0 ? 'mean' : h + 1})))));
  const body = make('tbody');
  part.layers.forEach((number, l) => {
    const row = make('tr', {}, make('th', {scope: 'row', textContent: `layer ${number + 1}`}));
    for (const h of heads) {
      const canvas = make('canvas');
      const button = make('button', {title: `layer ${number + 1}, ${headName(h)}`}, canvas);
      button.setAttribute('aria-label', button.title);
      button.dataset.place = `${l},${h}`;
      button.onclick = () => { layer = l; head = h; detail(); };
      paint(canvas, l, h);
      row.append(make('td', {}, button));
    }
    body.append(row);
  });
  table.append(body);
}

const geometry = {};
function detail(hover = null) {
  for (const button of document.querySelectorAll('#overview button'))
    button.setAttribute('aria-pressed', button.dataset.place === `${layer},${head}`);
  element('which').textContent = `${layerName(layer)}, ${headName(head)}`;
  const canvas = element('map'), ratio = window.devicePixelRatio || 1;
  const many = Math.max(part.rows, part.columns), cell = Math.max(4, Math.min(30, Math.floor(760 / many)));
  const font = Math.max(9, Math.min(13, cell - 2)), context = canvas.getContext('2d');
  const face = `${font}px system-ui, sans-serif`;
  context.font = face;
  const widest = list => Math.min(150, Math.max(...list.map(t => context.measureText(t).width))) + 12;
  const left = Math.ceil(widest(part.queries)), top = Math.ceil(widest(part.keys));
  const width = left + cell * part.columns + 8, height = top + cell * part.rows + 8;
  Object.assign(geometry, {left, top, cell});
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  context.scale(ratio, ratio);
  const gap = cell > 8 ? 1 : 0;
  for (let q = 0; q < part.rows; q++)
    for (let k = 0; k < part.columns; k++) {
      context.fillStyle = `rgb(${colour(weight(part, layer, head, q, k))})`;
      context.fillRect(left + k * cell, top + q * cell, cell - gap, cell - gap);
    }
  context.font = face;
  context.textBaseline = 'middle';
  const every = Math.ceil((font + 1) / cell);
  const ink = style('--ink'), mark = style('--mark');
  const clip = text => {
    while (text.length > 1 && context.measureText(text).width > 140) text = text.slice(0, -2) + '…';
    return text;
  };
  context.textAlign = 'right';
  part.queries.forEach((text, q) => {
    const own = hover && hover.q === q;
    if (!own && (q % every || (hover && Math.abs(hover.q - q) * cell < font))) return;
    context.fillStyle = own ? mark : ink;
    context.fillText(clip(text), left - 6, top + (q + 0.5) * cell);
  });
  context.textAlign = 'left';
  part.keys.forEach((text, k) => {
    const own = hover && hover.k === k;
    if (!own && (k % every || (hover && Math.abs(hover.k - k) * cell < font))) return;
    context.save();
    context.translate(left + (k + 0.5) * cell, top - 6);
    context.rotate(-Math.PI / 2);
    context.fillStyle = own ? mark : ink;
    context.fillText(clip(text), 0, 0);
    context.restore();
  });
  if (hover) {
    context.strokeStyle = mark;
    context.lineWidth = 1.5;
    context.strokeRect(left + hover.k * cell, top + hover.q * cell, cell - gap, cell - gap);
  }
  list(hover ? hover.q : pinned ?? part.rows - 1);
}

// What one token weighs, the most first.
function list(q) {
  const weights = part.keys.map((text, k) => [weight(part, layer, head, q, k), text, k]);
  weights.sort((a, b) => b[0] - a[0] || a[2] - b[2]);
  element('from').textContent = part.queries[q];
  element('list').replaceChildren(...weights.slice(0, 12).map(([w, text]) =>
    make('li', {}, make('span', {textContent: w.toFixed(4)}),
      make('span', {}, make('span', {className: 'token', textContent: text})))));
}

function over(event) {
  const {left, top, cell} = geometry, box = element('map').getBoundingClientRect();
  const k = Math.floor((event.clientX - box.left - left) / cell);
  const q = Math.floor((event.clientY - box.top - top) / cell);
  const tip = element('tip'), inside = k >= 0 && q >= 0 && k < part.columns && q < part.rows;
  tip.hidden = !inside;
  if (!inside) return detail();
  pinned = q;
  const token = text => make('span', {className: 'token', textContent: text});
  tip.replaceChildren(token(part.queries[q]), ' weighs ', token(part.keys[k]), ' with ',
    make('b', {textContent: weight(part, layer, head, q, k).toFixed(4)}));
  const right = event.clientX + 16 + tip.offsetWidth > innerWidth;
  tip.style.left = (right ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16) + 'px';
  tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + 'px';
  detail({q, k});
}

function legend() {
  const canvas = element('ramp');
  canvas.width = 180;
  canvas.height = 1;
  const context = canvas.getContext('2d');
  for (let x = 0; x < 180; x++) {
    context.fillStyle = `rgb(${ramp[Math.round(x / 179 * 255)]})`;
    context.fillRect(x, 0, 1, 1);
  }
}

function show() {
  colours();
  legend();
  overview();
  detail();
}
data.parts.forEach(p => {
  const button = make('button', {textContent: p.name});
  button.onclick = () => { part = p; layer = 0; head = 0; pinned = null; choose(); show(); };
  p.button = button;
  element('parts').append(button);
});
const choose = () => data.parts.forEach(p => p.button.setAttribute('aria-pressed', p === part));
element('parts').hidden = data.parts.length < 2;
element('map').onmousemove = over;
element('map').onmouseleave = () => { element('tip').hidden = true; detail(); };
document.onkeydown = event => {
  const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  layer = Math.max(0, Math.min(part.layers.length - 1, layer + step[0]));
  // The mean of the heads stands behind the last one.
  const place = Math.max(0, Math.min(part.heads, (head < 0 ? part.heads : head) + step[1]));
  head = place === part.heads ? -1 : place;
  detail();
};
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
choose();
show();
