//! Values, layers and messages, as tables.
