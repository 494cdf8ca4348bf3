//! `bufwatch ps`: the Node processes of this host.
