// Pointing at a token shows what it is, and frames whatever covers the same bytes for the other tokenizers.
const about = document.getElementById("about");
const hint = about.textContent;
let framed = [];
function leave() {
  for (const token of framed) token.classList.remove("on");
  framed = [];
}
function enter(token) {
  leave();
  const [start, end] = token.dataset.o.split("-").map(Number);
  for (const other of token.closest("section").querySelectorAll(".t")) {
    const [s, e] = other.dataset.o.split("-").map(Number);
    if (other === token || (s < end && e > start)) {
      other.classList.add("on");
      framed.push(other);
    }
  }
  about.textContent = "";
  const piece = document.createElement("b");
  piece.textContent = token.dataset.p || token.textContent;
  const bytes = token.dataset.b ? " · " + token.dataset.b : "";
  about.append(piece, `  id ${token.dataset.i} · bytes ${start} to ${end}${bytes} · ${token.closest(".cut").dataset.name}`);
}
document.addEventListener("pointerover", (event) => {
  const token = event.target.closest(".t");
  if (token) enter(token);
  else if (framed.length) { leave(); about.textContent = hint; }
});
for (const box of document.querySelectorAll(".controls input")) {
  const apply = () => document.body.classList.toggle(box.value, box.checked !== (box.dataset.off === "1"));
  box.addEventListener("change", apply);
  apply();
}
