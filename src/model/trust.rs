//! Who may change a file, as ssh asks it of its own: one rule for the config
//! files and for the store.

/// The ownership of a file, as `stat` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The mode, permission bits at least.
    pub mode: u32,
}

/// The user that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The effective user.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

const GROUP_WRITE: u32 = 0o020;
const WORLD_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

impl Ownership {
    /// Whether the file belongs to this user or to root.
    pub const fn is_of(&self, user: User) -> bool {
        self.uid == user.uid || self.uid == 0
    }

    /// Whether others may write: anybody, or a group that is not the user's own.
    pub const fn is_writable_by_others(&self, user: User) -> bool {
        self.mode & WORLD_WRITE != 0 || self.mode & GROUP_WRITE != 0 && self.gid != user.gid
    }

    /// The sticky bit: in such a directory nobody can replace another's files.
    pub const fn is_sticky(&self) -> bool {
        self.mode & STICKY != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_the_world_and_foreign_groups() {
        let user = User { uid: 1000, gid: 1000 };
        let check = |uid, gid, mode, of, others| {
            let file = Ownership { uid, gid, mode };
            assert_eq!(
                (file.is_of(user), file.is_writable_by_others(user)),
                (of, others),
                "{file:?}"
            );
        };
        check(1000, 1000, 0o644, true, false);
        check(1000, 1000, 0o664, true, false);
        check(1000, 50, 0o664, true, true);
        check(1000, 1000, 0o646, true, true);
        check(0, 0, 0o644, true, false);
        check(0, 0, 0o664, true, true);
        check(1001, 1000, 0o600, false, false);
        assert!(Ownership { uid: 0, gid: 0, mode: 0o1777 }.is_sticky());
    }
}
