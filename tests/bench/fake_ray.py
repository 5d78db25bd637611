"""As much of Ray as the pool sees, in this process: an actor answers when it is asked for."""

from __future__ import annotations

from types import SimpleNamespace


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class FakeRay:
    """`kills` are rows of which every actor dies."""

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)

    def __init__(self, resources=None, kills=()):
        self._resources = {"CPU": 2} if resources is None else resources
        self._kills, self.options, self.asked, self.ended = set(kills), [], [], 0

    def init(self, **options):
        self.options.append(options)

    def shutdown(self):
        self.ended += 1

    def cluster_resources(self):
        return self._resources

    def put(self, value):
        return value

    def remote(self, **options):
        self.options.append(options)
        return lambda kind: SimpleNamespace(remote=lambda model: _Handle(self, kind, model))

    def get(self, promised):
        if isinstance(promised, list):
            return [self.get(one) for one in promised]
        handle, name, args = promised
        try:
            actor = handle.actor()
        except Exception as error:
            raise RayError(f"{type(error).__name__}: {error}\nmore of it") from error
        if name == "ask":
            rows = {row.number for row in args[0]}
            self.asked.append((handle.number, sorted(rows)))
            if rows & self._kills:
                raise RayActorError("the actor died\nmore of it")
        return getattr(actor, name)(*args)


class _Handle:
    count = 0

    def __init__(self, ray, kind, model):
        self._made, self.ray = lambda: kind(model), ray
        self.number, _Handle.count = _Handle.count % 2, _Handle.count + 1

    def actor(self):
        made = self._made()
        self._made = lambda: made
        return made

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *args: (self, name, args))
