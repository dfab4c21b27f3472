"""Who asks."""

from dataclasses import dataclass, field
from typing import Final

AUTHENTICATED_GROUP: Final = "system:authenticated"
UNAUTHENTICATED_GROUP: Final = "system:unauthenticated"


@dataclass(frozen=True, slots=True)
class User:
    """A user as Kubernetes knows one (apiserver pkg/authentication/user).

    extra: (key, values) pairs in the order of their keys, such as the credential's id.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.name, self.groups, self.uid, self.extra)))

    def __hash__(self) -> int:  # worked out once: every request looks its user up
        return self._hash


ANONYMOUS: Final = User("system:anonymous", (UNAUTHENTICATED_GROUP,))


def authenticated(user: User) -> User:
    """The user with the group of all who have proven who they are.

    The front proxy may pass on anonymous users: they stay so. Source: apiserver
    pkg/authentication/group/authenticated_group_adder.go.
    """
    if user.name == ANONYMOUS.name or AUTHENTICATED_GROUP in user.groups or UNAUTHENTICATED_GROUP in user.groups:
        return user
    return User(user.name, (*user.groups, AUTHENTICATED_GROUP), user.uid, user.extra)


class Unauthenticated(Exception):
    """A credential was shown and is not good; the message says why, for the log and not for the client."""
