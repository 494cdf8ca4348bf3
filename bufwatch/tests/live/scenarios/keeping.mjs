// Makes a store of a megabyte ten times a second, and keeps the last twenty.

const kept = [];
setInterval(() => {
  kept.push(Buffer.alloc(1 << 20, 1));
  if (kept.length > 20) {
    kept.shift();
  }
}, 100);
