"""An emulated inference server: OpenAI's API, a service curve, and faults, without a model.

`sharing` says when work is done, `generation` when tokens are; `http` speaks. Only
`engine` knows the time, by the clock that it is given.
"""

from isocline.emulator.faults import Faults as Faults
from isocline.emulator.serve import Emulator as Emulator
from isocline.emulator.serve import run as run
from isocline.emulator.serve import start as start
from isocline.emulator.settings import Settings as Settings
