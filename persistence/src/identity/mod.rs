//! Names: of replicas, of entities, of their streams, and the slices that place them.

mod names;
mod persistence_id;
mod replica_id;
mod replication_id;
mod slice;

pub use names::{NAME_BYTES_MAX, SEPARATOR};
pub use persistence_id::PersistenceId;
pub use replica_id::ReplicaId;
pub use replication_id::ReplicationId;
pub use slice::{SLICE_COUNT, Slice, SliceRange};
