// Cells for the ends of lines: this file is copied with each kind of line end that JavaScript knows. A
// line end inside of a comment, a string or a template counts as well.

'use strict';

const template = `one
two
three`;

function first(size) {
  /* over
     two lines */
  return new ArrayBuffer(size);
}

class Lines {
  method(size) {
    const text = `${template}
`;
    return text.length > 0 ? first(size) : null;
  }
}

exports.cells = {
  nested: (size) => new Lines().method(size),
};
