// The CommonJS part of `holders.mjs`.

let moduleVariable;

exports.set = (view) => {
  moduleVariable = view;
};
exports.get = () => moduleVariable;
