"""Text -> quality scores: two scorers of different evidence, their ranks and how they agree."""

from bayes_infolaw.harness.quality.agreement import agreement as agreement
from bayes_infolaw.harness.quality.agreement import assign_buckets as assign_buckets
from bayes_infolaw.harness.quality.bucket_check import bucket_perplexities as bucket_perplexities
from bayes_infolaw.harness.quality.columns import read_score as read_score
from bayes_infolaw.harness.quality.columns import score_columns as score_columns
from bayes_infolaw.harness.quality.normalise import Normaliser as Normaliser
from bayes_infolaw.harness.quality.normalise import fit_normaliser as fit_normaliser
from bayes_infolaw.harness.quality.scorers import Scorers as Scorers
from bayes_infolaw.harness.quality.scorers import fit_scorers as fit_scorers
from bayes_infolaw.harness.quality.scorers import score_documents as score_documents
from bayes_infolaw.harness.quality.settings import QualitySettings as QualitySettings
