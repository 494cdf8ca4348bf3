//! `bufwatch doctor`: what works here and why not.
