"""Run tables and plans: reading, mapping, checking, simulating."""

from bayes_infolaw.tables.informing import runs_informing as runs_informing
from bayes_infolaw.tables.read import read_plan as read_plan
from bayes_infolaw.tables.read import read_runs as read_runs
from bayes_infolaw.tables.runs import RunArrays as RunArrays
from bayes_infolaw.tables.runs import RunTable as RunTable
from bayes_infolaw.tables.simulate import simulate as simulate
from bayes_infolaw.tables.write import write_runs as write_runs
