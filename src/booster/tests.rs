//! Files that are no models, or not sound ones.
