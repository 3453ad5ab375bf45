//! Values, layers and messages of probes, as tables.
