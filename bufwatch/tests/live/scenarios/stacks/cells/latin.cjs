// Cells of a source with characters outside of ASCII that still fit one byte each (Latin-1). They know nothing
// of how they are measured.

'use strict';

function Üñï(größe) {
  const text = 'äöü'; return new ArrayBuffer(text.length > 0 ? größe : 0);
}

exports.cells = {
  'Latin-1 names': (größe) => Üñï(größe),
};
