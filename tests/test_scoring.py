"""The probe of features: a classifier by the nearest class mean."""

import torch
from making import faces

from fer_ssl.data.loader import EvalLoader
from fer_ssl.nn.backbones import SmallConvNet
from fer_ssl.nn.heads import CosineHead, LinearHead
from fer_ssl.nn.model import FaceModel
from fer_ssl.scoring import fit_class_means, score


def test_class_means_classify_by_the_nearest_one() -> None:
    torch.manual_seed(0)
    model = FaceModel(SmallConvNet((4, 4, 4, 4, 4, 8)), LinearHead, classes=3).requires_grad_(False)
    labeled = faces([0, 1, 2, 2] * 5, seed=3)
    fit_class_means(model, EvalLoader(labeled, 7), 3)
    features = model.backbone(model.normalize(labeled.images.read(torch.arange(20))))
    means = torch.stack([features[labeled.labels == label].mean(0) for label in range(3)])
    nearest = torch.cdist(features, means).argmin(1)
    scored = score(model, EvalLoader(labeled, 7), 3)
    assert torch.equal(scored.probs.argmax(1), nearest)


def test_a_class_without_faces_has_the_origin_as_mean() -> None:
    model = FaceModel(SmallConvNet((4, 4, 4, 4, 4, 8)), LinearHead, classes=3).requires_grad_(False)
    fit_class_means(model, EvalLoader(faces([0, 1] * 4), 4), 3)
    assert not model.head.classifier.weight[2].any()
    assert torch.isfinite(model.head.classifier.weight).all()


def test_the_cosine_head_gets_the_direction_of_the_means() -> None:
    torch.manual_seed(0)
    model = FaceModel(SmallConvNet((4, 4, 4, 4, 4, 8)), CosineHead, classes=3).requires_grad_(False)
    labeled = faces([0, 1, 2] * 5, seed=3)
    fit_class_means(model, EvalLoader(labeled, 7), 3)
    features = model.backbone(model.normalize(labeled.images.read(torch.arange(15))))
    means = torch.stack([features[labeled.labels == label].mean(0) for label in range(3)])
    nearest = torch.cosine_similarity(features.unsqueeze(1), means.unsqueeze(0), dim=2).argmax(1)
    assert torch.equal(score(model, EvalLoader(labeled, 7), 3).probs.argmax(1), nearest)
