// Cells of a source that V8 keeps in two bytes a character, with names outside of ASCII. They know nothing
// of how they are measured.

'use strict';

function Üñï(größe) {
  const текст = '→ 😀'; return new ArrayBuffer(текст.length > 0 ? größe : 0);
}

class Ж {
  方法(größe) {
    /* 😀😀 */ return Üñï(größe);
  }
}

exports.cells = {
  'non-ASCII names': (größe) => new Ж().方法(größe),
};
