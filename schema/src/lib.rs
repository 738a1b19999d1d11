//! What is WANTED: zone manifests, their validation and their JSON Schema. Pure: no I/O.
